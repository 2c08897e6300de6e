"""A chatbot that chooses among all replies of a corpus of conversations."""

from embrl.envs.chatbot.environment import Chatbot, ChatbotConfig

__all__ = ["Chatbot", "ChatbotConfig"]
