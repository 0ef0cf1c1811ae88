"""petcast: cast a PET from a CT.

The package turns hospital PET/CT studies into aligned slice pairs, trains cascaded
encoder-decoders on them and gives back a synthetic PET in SUV, with the evidence of how
far it can be trusted. Research only: a PET made from a CT measures no tracer.
"""

__version__ = "0.1.0"
