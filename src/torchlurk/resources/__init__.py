"""Every document of a study, as pure functions of what the store holds."""
