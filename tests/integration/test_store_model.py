"""The store against its reference in plain Python; `python -m chaos --only store_model` plays far more."""

from chaos.reference.sequences import play
from dev.stack import Stack


def test_the_store_on_a_real_redis_does_what_the_model_does(redis_stack: Stack) -> None:
    sequences, _ = play(redis_stack.admin_url, 25, 1, steps=30)

    assert sequences >= 25


def test_the_store_on_the_fake_redis_does_what_the_model_does() -> None:
    sequences, _ = play("fake", 15, 2, steps=30)

    assert sequences >= 15
