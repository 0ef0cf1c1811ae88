"""petcast: cast a PET from a CT.

The package turns hospital PET/CT studies into aligned slice pairs, trains cascaded
encoder-decoders on them and gives back a synthetic PET in SUV, with the evidence of how
far it can be trusted. Research only: a PET made from a CT measures no tracer.

From Python, each command is a function, most of them of the module that bears its name:
petcast.prepare.prepare, petcast.train.train, petcast.evaluate.evaluate, petcast.predict.predict,
petcast.report.write_report (docs/tutorial.md shows them together).
"""

__version__ = "0.1.0"
