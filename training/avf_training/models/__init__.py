"""HiCMAE and AVF-MAE++: embedding, encoders, fusion, decoders, and the two models made of them."""
