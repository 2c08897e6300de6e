import pytest
from small_agents import population

from embrl.agents.embeddings.embedding import AgentFitConfig
from embrl.agents.embeddings.fit import fit

TINY = AgentFitConfig(k=2, hidden=(8,), steps=8, batch=4, states=8, keep=8, working=8, chunk=4)


@pytest.fixture(scope="session")
def agents(tmp_path_factory):
    return population(tmp_path_factory.mktemp("agents") / "population")


@pytest.fixture(scope="session")
def fitted(agents, tmp_path_factory):
    """A fingerprint, its folder."""
    out = tmp_path_factory.mktemp("agents") / "fitted"
    return fit("fingerprint", agents, TINY, out), out
