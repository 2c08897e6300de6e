"""Files of embrl: checkpoints, run folders, and how they are written.

| module | contents |
|---|---|
| `files` | `write_bytes`, `write_text`, `write_json`, `read_json`, `replacing`: atomic writes |
| `lock` | `locked`: one process at a time writes to a folder |
| `checkpoint` | `write`, `read`, `latest`: pytrees of arrays as safetensors, never a pickle |
| `run_folder` | `RunFolder`: access to the files of one run (docs/run-folder.md) |
| `versions` | `versions`, `machine`: what a file was made with |
"""
