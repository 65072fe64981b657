"""The benchmark of the detection and counting of back-splice junctions."""
