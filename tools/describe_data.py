"""Describe the columns of the recorded data as the models do today; rows stay as they are."""

from caveatlib import store
from caveatlib.experiments import noise, recorded
from caveatlib.measuring.experiment import complete, tables_of

for experiment in map(complete, (*recorded(), noise)):
    models = tables_of(experiment)
    if store.describe_anew(experiment.NAME, title=experiment.QUESTION, models=models):
        print(f"Described anew: data/{experiment.NAME}")
