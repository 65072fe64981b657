"""Library of Ringmark: circular RNAs and m6A from reads to an answer.

A module imports only from the floors below its own, and from what stands left of it on the same:

0. ``errors``, ``files``, ``tables``, ``intervals``, ``sequence``
1. ``study``, ``annotation``, ``alignments``, ``fragments``, ``exon_ends``, ``betabinomial``,
   ``multiple_testing``
2. ``backsplice``, ``circles``, ``tandem_copies``, ``circle_search``, ``circle_ways``,
   ``circle_counter``, ``circle_counts`` · ``bins``, ``background``, ``summits``, ``peaks``,
   ``pairing``, ``saturation``, ``profiles`` · ``simulate`` and its parts
3. ``enrichment``, ``efficiency``, ``differential``, ``regulators``
4. ``figures``, ``report``

Nothing here knows Snakemake, a configuration file or the folder layout of a run: the programs in
the folder above do. Coordinates are 0-based and half-open everywhere.
"""
