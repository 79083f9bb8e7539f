"""How often the largest score is that of the labelled class."""

import numpy as np


def accuracy(logits, labels):
    """top1, top5 and counts, None without labels; the lower class wins a tie, and top5 needs more than 5 classes."""
    if labels is None or logits.ndim != 2:
        return None
    ranked = np.argsort(-logits.astype(np.float64), axis=1, kind="stable")
    correct = int((ranked[:, 0] == labels).sum())
    top5 = float((ranked[:, :5] == labels[:, None]).any(axis=1).mean()) if logits.shape[1] > 5 else None
    return {"top1": correct / len(labels), "top5": top5, "correct": correct, "count": len(labels)}
