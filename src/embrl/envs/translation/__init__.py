"""Translation, a word at a time, judged as a whole sentence."""

from embrl.envs.translation.environment import Translation, TranslationConfig

__all__ = ["Translation", "TranslationConfig"]
