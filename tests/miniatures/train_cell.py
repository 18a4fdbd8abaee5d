"""Train one cell, described in JSON: `python train_cell.py JOB DEVICES`."""

import json
import sys

import torch

from unsmooth.training.cell import CellJob, launch

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    torch.set_num_threads(1)
    launch(CellJob(**json.loads(sys.argv[1])), devices=int(sys.argv[2]))
