from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import fetch_run

READS = gzip.compress(b"@r\nACGT\n+\nIIII\n", mtime=0)


@dataclass
class Archive:
    """A portal and a file server on this machine."""

    address: str = ""
    report: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    failures: int = 0
    asked: list[str] = field(default_factory=list)

    def offer(self, *names: str, md5: str | None = None, size: int | None = None) -> None:
        """Answer with these files, all with the same content."""
        self.files = {f"/{name}": READS for name in names}
        columns = (
            ";".join(f"{self.address}/{name}" for name in names),
            ";".join(str(len(READS) if size is None else size) for _ in names),
            ";".join(md5 or hashlib.md5(READS).hexdigest() for _ in names),
        )
        self.report = "run_accession\tfastq_ftp\tfastq_bytes\tfastq_md5\nSRR1234567\t"
        self.report += "\t".join(columns) + "\n"


@pytest.fixture
def archive() -> Iterator[Archive]:
    state = Archive()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            if state.failures:
                state.failures -= 1
                self.send_error(503)
                return
            if self.path.startswith("/filereport?"):
                content = state.report.encode()
            else:
                content = state.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(archive: Archive, folder: Path, accession: str = "SRR1234567") -> int:
    return fetch_run.main(
        [
            "--accession", accession, "--portal", archive.address, "--pause", "0.001",
            "--output-1", str(folder / "out" / "x_1.fastq.gz"),
            "--output-2", str(folder / "out" / "x_2.fastq.gz"),
        ]
    )  # fmt: skip


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").glob("*")}


def test_mates_are_downloaded(archive: Archive, tmp_path: Path) -> None:
    archive.offer("SRR1234567_2.fastq.gz", "SRR1234567_1.fastq.gz")
    archive.files["/SRR1234567_1.fastq.gz"] = READS
    assert fetch(archive, tmp_path) == 0
    assert written(tmp_path) == {"x_1.fastq.gz": READS, "x_2.fastq.gz": READS}
    assert archive.asked[0].startswith("/filereport?accession=SRR1234567&result=read_run")
    assert archive.asked[1:] == ["/SRR1234567_1.fastq.gz", "/SRR1234567_2.fastq.gz"]


def test_reads_without_their_mate_are_left_out(archive: Archive, tmp_path: Path) -> None:
    archive.offer("S.fastq.gz", "S_1.fastq.gz", "S_2.fastq.gz")
    assert fetch(archive, tmp_path) == 0
    assert archive.asked[1:] == ["/S_1.fastq.gz", "/S_2.fastq.gz"]


def test_single_end_run_has_an_empty_second_file(archive: Archive, tmp_path: Path) -> None:
    archive.offer("SRR1234567.fastq.gz")
    assert fetch(archive, tmp_path) == 0
    files = written(tmp_path)
    assert files["x_1.fastq.gz"] == READS
    assert gzip.decompress(files["x_2.fastq.gz"]) == b""


def test_a_failure_is_tried_again(archive: Archive, tmp_path: Path) -> None:
    archive.offer("S.fastq.gz")
    archive.failures = 3
    assert fetch(archive, tmp_path) == 0
    assert len(archive.asked) == 5


@pytest.mark.parametrize(
    ("wrong", "said"), [({"md5": "0" * 32}, "MD5"), ({"size": 3}, "instead of 3")]
)
def test_a_damaged_file_is_refused(
    archive: Archive,
    tmp_path: Path,
    wrong: dict[str, object],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive.offer("S.fastq.gz", **wrong)
    assert fetch(archive, tmp_path) == 1
    message = capsys.readouterr().err
    assert said in message
    assert "S.fastq.gz" in message
    assert written(tmp_path) == {}


@pytest.mark.parametrize(
    "report", ["", "run_accession\tfastq_ftp\tfastq_bytes\tfastq_md5\n", "fastq_ftp\n\n"]
)
def test_a_run_without_files_is_told(
    archive: Archive, tmp_path: Path, report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.report = report
    assert fetch(archive, tmp_path) == 1
    assert "SRR1234567" in capsys.readouterr().err


@pytest.mark.parametrize("accession", ["GSM12345", "SRR", "PRJNA1", "srr1234567", "SRR123;x"])
def test_what_is_no_run_is_refused_before_asking(
    archive: Archive, tmp_path: Path, accession: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(archive, tmp_path, accession) == 1
    assert accession in capsys.readouterr().err
    assert archive.asked == []


def test_a_portal_that_does_not_answer_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(Archive("http://127.0.0.1:9"), tmp_path) == 1
    assert "5 attempts" in capsys.readouterr().err


def test_addresses_without_scheme_are_https() -> None:
    text = "fastq_ftp\tfastq_bytes\tfastq_md5\nhost/S.fastq.gz\t5\tabc\n"
    (file,) = fetch_run.parse_report(text, "SRR1234567")
    assert file == fetch_run.RemoteFile("https://host/S.fastq.gz", 5, "abc")
