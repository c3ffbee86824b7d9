"""Acronyms that the field uses for more than one mechanism.

Each is refused with its meanings, so that nobody measures another mechanism than they meant.
"""

AMBIGUOUS: dict[str, dict[str, str]] = {
    "sa": {
        "shuffle": "shuffle attention (SA-Net)",
        "sa_spatial": "the spatial gate of CBAM",
        "mhsa": "self-attention",
    },
    "psa": {
        "epsa": "pyramid squeeze attention (EPSANet)",
        "polarized": "polarized self-attention",
        "psa_yolo": "partial self-attention (YOLOv10)",
        "psanet": "point-wise spatial attention (PSANet)",
    },
    "gct": {
        "gct_gated": "gated channel transformation (CVPR 2020)",
        "gct_gaussian": "Gaussian context transformer (CVPR 2021)",
    },
    "ca": {
        "coord": "coordinate attention",
        "ca_channel": "the channel gate of CBAM",
    },
    "mca": {
        "mca_collaborative": "multidimensional collaborative attention (EAAI 2023)",
        "mca_cross_axis": "multi-scale cross-axis attention (arXiv 2312.08866)",
    },
    "ema": {
        "ema_multiscale": "efficient multi-scale attention (ICASSP 2023)",
        "emanet": "expectation-maximization attention (EMANet)",
    },
    "da": {
        "danet": "dual attention (DANet)",
        "a2": "double attention (A2-Nets)",
        "dat": "deformable attention (DAT)",
    },
    "ea": {
        "external": "external attention",
        "efficient_attn": "efficient attention (WACV 2021)",
    },
}
