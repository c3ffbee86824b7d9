"""Laws about operations that can be computed in more than one way."""

from foveal.testing.attending import ExplicitAttention
from foveal.testing.gradients import outputs_and_gradients, require_same
from foveal.testing.law import NotCheckedError, law
from foveal.testing.subject import Subject


@law("fused", catches="a fused operation that is wrong off the happy path")
def fused_equals_reference(subject: Subject) -> None:
    """Fused attention against its formula: the output and every gradient, in float64. A gradient
    that is a small rest of large numbers, as between two attentions with nothing added to what they
    average, is in float32 no more than their rounding."""
    for size in subject.sizes:
        fused = outputs_and_gradients(subject, size)
        with ExplicitAttention() as formula:
            reference = outputs_and_gradients(subject, size)
        if not formula.calls:
            raise NotCheckedError("forward calls no operation that has a second implementation")
        require_same(fused, reference, f"at {size[0]}×{size[1]}, fused")
