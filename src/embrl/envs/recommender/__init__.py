"""The n-gram recommender of Pritz et al. (2021), built from a purchase log."""

from embrl.envs.recommender.environment import Recommender, RecommenderConfig

__all__ = ["Recommender", "RecommenderConfig"]
