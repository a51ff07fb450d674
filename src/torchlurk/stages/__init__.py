"""The steps of an analysis, each of which can run alone and resumes."""
