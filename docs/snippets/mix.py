import torch

import foveal

x = torch.rand(2, 64, 14, 14)
mix = foveal.create_attention("mean(se | sa_spatial | mhsa, weights=dynamic)", channels=64)

print(mix(x).shape)  # prints: torch.Size([2, 64, 14, 14])
print(mix.notation)  # prints: mean(se | sa_spatial | mhsa, weights=dynamic)
for where, weights in mix.weights(x).items():
    print(where, weights.shape)
# prints: mean(se | sa_spatial | mhsa, weights=dynamic) torch.Size([2, 3, 1, 1, 1])

try:
    foveal.create_attention("eca > (se | cord)", channels=64)
except foveal.FovealError as error:
    print(error)
# prints: there is no attention 'cord'; did you mean coord?
# prints:   eca > (se | cord)
# prints:               ^^^^
