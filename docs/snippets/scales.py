import torch
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from foveal import create_attention, find_pyramids, insert_levels
from foveal.measure import count_traffic

x = torch.rand(1, 64, 56, 56)


def megabytes(notation: str) -> float:
    """What one forward pass reads and writes."""
    return count_traffic(create_attention(notation, channels=64), x).bytes_moved / 1e6


for notation in (
    "pyramid(cbam, weights=fixed(0.0005, 1, 1), negligible=0)",  # prints: 24.8
    "pyramid(cbam, weights=fixed(0.0005, 1, 1))",  # prints: 10.1
    "wavelet(cbam, weights=fixed(0.0005, 0.0005, 0.0005, 1), negligible=0)",  # prints: 13.1
    "wavelet(cbam, weights=fixed(0.0005, 0.0005, 0.0005, 1))",  # prints: 5.1
    "outlook",  # prints: 23.7
    "coarse_to_fine(eca, outlook, window_size=8, share=0.25)",  # prints: 11.5
):
    print(f"{megabytes(notation):.1f}")

host = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
image = torch.rand(2, 3, 64, 64)
for place in find_pyramids(host, image):
    print(place.position, place.path, place.channels)
# prints: after backbone (40, 960)
# prints: before classifier (40, 960)

report = insert_levels(host, "eca > coord", where="backbone", example_input=image)
print(report.largest_change, report.keys_kept, report.keys_added)  # prints: 0.0 319 43
