import torch

from foveal.mix import CrossModal, Modality

image = Modality("image", "map", channels=64, mix="eca > coord")
text = Modality("text", "tokens", channels=96, mix="residual(mhsa)")
both = CrossModal(image, text, across="cross_attention(num_heads=4)").eval()

x, words = torch.rand(2, 64, 14, 14), torch.rand(2, 12, 96)
words[1] = float("nan")  # the second image has no text
there = torch.tensor([[True, True], [True, False]])
y, told = both(x, words, there)

print(y.shape, told.shape)  # prints: torch.Size([2, 64, 14, 14]) torch.Size([2, 12, 96])
print(torch.equal(y[1], both(x, None)[0][1]))  # prints: True
print(both.attention_map(x, words, there)["image"].shape)  # prints: torch.Size([2, 4, 196, 12])
