"""What the sections of all training stages share."""

from typing import Annotated

from pydantic import Field

from pipeline.params.section import Count, Device, NotNegative, Positive, Section, Whole


class Optimisation(Section):
    """What every training stage sets for the fit loop."""

    learning_rate: Positive
    weight_decay: NotNegative
    gradient_clip: Positive
    batch_size: Count
    epochs: Count
    patience: Count
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Whole
    threads: Count
    device: Device
