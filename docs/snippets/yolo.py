import torch

import foveal

model = foveal.yolo.YOLO("yolov8n.yaml")
images = torch.rand(1, 3, 320, 320)
before = model.model.eval()(images)[0]

report = foveal.insert(model, "cbam", where="neck.out")

print([place.path for place in report.places])  # prints: ['model.15', 'model.18', 'model.21']
print(report.keys_kept, report.keys_added)  # prints: 355 33
print(torch.equal(model.model.eval()(images)[0], before))  # prints: True
