"""OCaml's yojson, the parser of the original's executive, as a reader of the flood. Built where OCaml is installed."""

import shutil
import subprocess
from pathlib import Path

_SOURCE = """
let () =
  let channel = open_in_bin Sys.argv.(1) in
  let found = ref 0 in
  (try
     while true do
       match Yojson.Safe.from_string (input_line channel) with
       | `Assoc fields ->
         if List.assoc_opt "event_id" fields = Some (`String Sys.argv.(2)) then incr found
       | _ -> ()
     done
   with End_of_file -> ());
  print_int !found
"""


def why_not() -> str | None:
    """Say what is missing, if anything is."""
    if shutil.which("ocamlfind") is None or shutil.which("ocamlopt") is None:
        return "no OCaml here (on Debian: apt install ocaml-nox ocaml-findlib libyojson-ocaml-dev)"
    asked = subprocess.run(["ocamlfind", "query", "yojson"], capture_output=True, check=False)  # noqa: S607
    return "OCaml is here, yojson is not (on Debian: apt install libyojson-ocaml-dev)" if asked.returncode else None


def build(directory: Path) -> Path:
    """Compile the reader; it takes a FIFO and an event id, and prints how many events it saw."""
    source, program = directory / "reader.ml", directory / "reader"
    source.write_text(_SOURCE)
    subprocess.run(  # noqa: S603  # our own program
        ["ocamlfind", "ocamlopt", "-O3", "-package", "yojson", "-linkpkg", str(source), "-o", str(program)],  # noqa: S607
        check=True,
        capture_output=True,
        cwd=directory,
    )
    return program
