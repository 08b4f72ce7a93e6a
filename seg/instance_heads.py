"""The two stages of Mask R-CNN, on torchvision's: crowds are no background, empty batches no NaN, losses float32."""

import torch
import torch.nn.functional as F
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import box_iou, roi_align

from .instance_parts import pool_rois

_CROWD_SHARE = 0.5  # of a box: with more of it inside a crowd, nobody knows whether it holds a product


def in_crowd(boxes: torch.Tensor, crowds: torch.Tensor) -> torch.Tensor:
    """bool (n,): whether more than half of each box (n, 4) lies in one of the ``crowds`` (k, 4), all xyxy."""
    if len(crowds) == 0:
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    low = torch.maximum(boxes[:, None, :2], crowds[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).clamp(min=1e-6)
    return ((high - low).clamp(min=0).prod(2) / area[:, None] > _CROWD_SHARE).any(1)


class Proposals(RegionProposalNetwork):
    """torchvision's, with targets that may have ``crowds`` (k, 4): anchors in them teach nothing."""

    def assign_targets_to_anchors(self, anchors, targets):
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            if len(target["crowds"]):
                label[(label == 0) & in_crowd(anchor, target["crowds"])] = -1
        return labels, matched

    def compute_loss(self, objectness, pred_bbox_deltas, labels, regression_targets):
        if not any((label >= 0).any() for label in labels):
            return objectness.sum() * 0, pred_bbox_deltas.sum() * 0
        return super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)


class Heads(RoIHeads):
    """torchvision's box and mask stage. ``forward`` is its own: no sample, no positive, and crowds are seen to.

    When training, its first result is not an empty list but the positive boxes, a dict: ``boxes``, one (k, 4) xyxy px a
    photo; ``matched``, one int64 (k,) a photo, which product each is of; ``pooled`` (sum k, channels, 7, 7).
    """

    def select_training_samples(self, proposals, targets):
        kept = []
        for boxes, target in zip(proposals, targets, strict=True):
            if len(target["crowds"]):
                unsure = in_crowd(boxes, target["crowds"])
                if len(target["boxes"]):
                    unsure &= box_iou(boxes, target["boxes"]).amax(1) < self.proposal_matcher.low_threshold
                boxes = boxes[~unsure]
            kept.append(boxes)
        return super().select_training_samples(kept, targets)

    def forward(self, features, proposals, image_shapes, targets=None):
        if not self.training:
            return self._detect(features, proposals, image_shapes), {}
        proposals, matched, labels, deltas = self.select_training_samples(proposals, targets)
        positive = [label > 0 for label in labels]
        boxes = [one[keep] for one, keep in zip(proposals, positive, strict=True)]
        matched = [one[keep] for one, keep in zip(matched, positive, strict=True)]
        maps = [features[name] for name in self.box_roi_pool.featmap_names]
        sizes = self.box_roi_pool.output_size[0], self.mask_roi_pool.output_size[0]
        wanted = [(proposals, sizes[0]), (boxes, sizes[1])]
        for_boxes, for_masks = pool_rois(maps, wanted, self.box_roi_pool.aligned)
        logits, found = self.box_predictor(self.box_head(for_boxes))
        if len(logits):
            loss_class, loss_box = fastrcnn_loss(logits, found, labels, deltas)
        else:
            loss_class, loss_box = logits.sum() * 0, found.sum() * 0
        loss_mask = self._mask_loss(for_masks, boxes, matched, targets)
        found = {"boxes": boxes, "matched": matched, "pooled": for_boxes[torch.cat(positive)]}
        return found, {"loss_classifier": loss_class, "loss_box_reg": loss_box, "loss_mask": loss_mask}

    def _mask_loss(self, pooled, boxes, matched, targets) -> torch.Tensor:
        if not len(pooled):
            # Every weight takes part in every step, or DistributedDataParallel waits for it for ever.
            return sum(p.sum() for m in (self.mask_head, self.mask_predictor) for p in m.parameters()) * 0
        logits = self.mask_predictor(self.mask_head(pooled))
        truth, labels = [], []
        for box, index, target in zip(boxes, matched, targets, strict=True):
            if len(box):
                used, position = index.unique(return_inverse=True)
                truth.append(mask_targets(target["masks"][used], box, position, logits.shape[-1]))
                labels.append(target["labels"][index])
        labels = torch.cat(labels)
        logits = logits[torch.arange(len(labels), device=labels.device), labels]
        return F.binary_cross_entropy_with_logits(logits, torch.cat(truth))

    def _detect(self, features, proposals, image_shapes) -> list[dict[str, torch.Tensor]]:
        logits, found = self.box_predictor(self.box_head(self.box_roi_pool(features, proposals)))
        boxes, scores, labels = self.postprocess_detections(logits, found, proposals, image_shapes)
        flat = torch.cat(labels)
        if len(flat):
            logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes)))
            masks = logits[torch.arange(len(flat), device=flat.device), flat].sigmoid()
        else:
            masks = logits.new_zeros((0, 28, 28))
        masks = masks.split([len(one) for one in boxes])
        rows = zip(boxes, labels, scores, masks, strict=True)
        return [{"boxes": b, "labels": c, "scores": s, "masks": m} for b, c, s, m in rows]


def mask_targets(masks: torch.Tensor, boxes: torch.Tensor, index: torch.Tensor, size: int) -> torch.Tensor:
    """float32 (k, size, size): the share of each cell of box k, xyxy px, that mask ``index[k]`` of ``masks`` uint8
    (n, h, w) covers. Pixel (0, 0) covers the square from 0 to 1 (torchvision's own targets lie half a pixel off)."""
    rois = torch.cat([index[:, None].to(boxes), boxes], 1)
    return roi_align(masks[:, None].float(), rois, size, 1.0, -1, aligned=True)[:, 0]
