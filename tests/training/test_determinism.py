import pytest
import torch
from torch import nn

from pipeline.core.errors import ExpectedError
from pipeline.training.determinism import Purpose, initial_weights, prepare_device, torch_generator

CPU = torch.device("cpu")


def test_a_place_has_its_own_random_numbers_and_always_the_same():
    def draw(*place):
        return torch.rand(3, generator=torch_generator(CPU, *place)).tolist()

    assert draw(0, Purpose.TRAINING, 1, 2) == draw(0, Purpose.TRAINING, 1, 2)
    places = [
        (0, Purpose.TRAINING, 1, 2),
        (0, Purpose.TRAINING, 2, 1),
        (1, Purpose.TRAINING, 1, 2),
        (0, Purpose.VALIDATION, 1, 2),
    ]
    assert len({tuple(draw(*place)) for place in places}) == len(places)


def test_initial_weights_depend_on_the_seed_alone_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with initial_weights(3):
        one = nn.Linear(4, 4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(10)
    with initial_weights(3):
        two = nn.Linear(4, 4)
    with initial_weights(4):
        three = nn.Linear(4, 4)
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, three.weight)


def test_the_device_is_prepared_as_asked():
    threads = torch.get_num_threads()
    try:
        assert prepare_device("cpu", 1) == CPU
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_an_error_that_names_the_way_out():
    with pytest.raises(ExpectedError, match=r"no CUDA device.*device: cpu"):
        prepare_device("cuda", 1)
