import timm
import torch

import foveal

model = timm.create_model("resnet18", pretrained=False, num_classes=10).eval()
images = torch.rand(2, 3, 64, 64)
before = model(images)

report = foveal.insert(model, "cbam", where="stage_ends", example_input=images)

places = [place.path for place in report.places]
print(places)  # prints: ['layer1.1', 'layer2.1', 'layer3.1', 'layer4.1']
print(report.parameters_added)  # prints: 44944
print(torch.equal(model(images), before))  # prints: True

foveal.remove(model)
