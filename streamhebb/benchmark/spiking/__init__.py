"""How fast a spiking layer with pair STDP learns, beside plain torch calls and other libraries."""
