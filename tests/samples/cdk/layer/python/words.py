def polite(text: str) -> str:
    return text + ", please"
