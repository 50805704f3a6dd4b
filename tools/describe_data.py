"""Describe the columns of the data that ship as the models do today; rows stay as they are."""

from caveatlib import store
from caveatlib.experiments import by_name, noise, recorded
from caveatlib.measuring.experiment import complete, tables_of
from caveatlib.runs.contributions import COMMUNITY
from caveatlib.support import shipped

for experiment in map(complete, (*recorded(), noise)):
    models = tables_of(experiment)
    if store.describe_anew(experiment.NAME, title=experiment.QUESTION, models=models):
        print(f"Described anew: data/{experiment.NAME}")
for folder in sorted((shipped.folder("data") / COMMUNITY).glob("*/*/")):
    experiment = complete(by_name(folder.parent.name))
    about = {"title": experiment.QUESTION, "models": tables_of(experiment)}
    if store.describe_folder(folder, experiment.NAME, **about):
        print(f"Described anew: data/{COMMUNITY}/{experiment.NAME}/{folder.name}")
