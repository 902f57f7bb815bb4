"""The recorder of a run.

``Recorder`` is the Lightning callback, and ``Run`` its state. ``TrainingSteps`` adds up training steps and calls the
callbacks that are due, ``OptimizerSteps`` those that measure gradients; ``Counters`` counts steps. ``RowLog`` collects
what they record in an ``OpenRow``, and gives it to the backends once the x axis (``RowAxis``) moves on.
"""

from puffer_callbacks.recorder.recorder import Recorder

__all__ = ["Recorder"]
