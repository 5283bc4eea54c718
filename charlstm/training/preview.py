"""Previews: texts that the model generates during training."""

from __future__ import annotations

from dataclasses import replace

from charlstm.config import SampleConfig
from charlstm.inference.language_model import LanguageModel
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training.events import Previewed
from charlstm.training.state import TrainState, weights_of

_DOCUMENTS = 5
PREVIEW = SampleConfig(temperature=0.8, length=200)


def preview(state: TrainState, tokenizer: CharTokenizer) -> Previewed:
    """A preview. Its random generator is separate from training's and seeded with the step."""
    model = LanguageModel(weights_of(state.network), state.config, tokenizer)
    config = replace(PREVIEW, seed=state.progress.step)
    if tokenizer.boundary:  # several, as one may be short
        documents = [sample.text for sample in model.samples(_DOCUMENTS, config=config)]
        return Previewed(state.progress.step, "\n".join(documents))
    return Previewed(state.progress.step, "".join(model.generate(config=config)))
