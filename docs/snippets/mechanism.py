import torch

import foveal

x = torch.rand(2, 256, 14, 14)
attention = foveal.create_attention("eca", channels=256)

print(attention(x).shape)  # prints: torch.Size([2, 256, 14, 14])
print(attention.attention_map(x).shape)  # prints: torch.Size([2, 256, 1, 1])
print(foveal.list_attentions("danet*"))  # prints: ['danet', 'danet_channel', 'danet_position']
