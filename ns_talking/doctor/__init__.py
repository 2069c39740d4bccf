"""Doctor: checks of the environment, of datasets and of trainings; every finding says what to do."""
