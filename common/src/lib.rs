//! What both ends of Wirehub agree on: frames, codecs, channel names, codes, limits and the typed contract
