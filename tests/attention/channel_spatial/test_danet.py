import torch

from foveal.attention import DANet, DANetChannel, DANetPosition


def test_is_the_sum_of_its_halves(stirred, tiny):
    danet = stirred(DANet(6, reduction=2))
    position, channel = DANetPosition(6, reduction=2).double(), DANetChannel(6).double()
    position.load_state_dict(danet.position.state_dict())
    channel.load_state_dict(danet.channel.state_dict())
    torch.testing.assert_close(danet(tiny), position(tiny) + channel(tiny))
    torch.testing.assert_close(danet.attention_map(tiny), position.attention_map(tiny))


def test_is_born_as_twice_its_input(tiny):
    torch.testing.assert_close(DANet(6).double()(tiny), 2 * tiny)
