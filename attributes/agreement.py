"""How far two annotators agree: a ceiling for any predictor that is judged by one of them."""

from dataclasses import replace

from ..datasets.coco import CocoFile
from ..seg.pairing import Pairing, Predictions, pair
from .joint import JointConfig, JointMetrics, joint_metrics


def agreement(
    truth: CocoFile, second: Predictions, config: JointConfig | None = None, *, where: str = "truth"
) -> tuple[Pairing, JointMetrics]:
    """The metrics with the second annotator in the place of the predictor; ``LabelMetrics.kappa`` is Cohen's kappa.

    An attribute counts where both have labelled it. Crowd regions of either take no part. There are no COCO numbers (an
    annotator gives no scores) and nothing of probabilities. Errors are those of ``pair``.
    """
    second = replace(second, items=[one for one in second.items if not getattr(one, "iscrowd", 0)])
    pairing = pair(truth, second, where=where)
    pairing.notes[:] = [note for note in pairing.notes if "without a score" not in note]
    return pairing, joint_metrics(pairing, config, coco=False, both_known=True)
