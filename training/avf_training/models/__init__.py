"""HiCMAE and AVF-MAE++: embeddings, encoders, fusion, decoders, masks, and the two models made of them.

Sections, equations and tables are those of "HiCMAE: Hierarchical Contrastive Masked Autoencoder for Self-Supervised
Audio-Visual Emotion Recognition" and of the extended paper on AVF-MAE++, "Scalable Audio-Visual Masked Autoencoders for
Efficient Affective Video Facial Analysis".

Shapes, as they end the names of tensors: B batch, T frames, H W height and width in pixels, M mel frames and F mel
bands (of audio), N tokens, V visible tokens, M tokens to reconstruct (of a decoder), P values of a patch, C encoder
width, D decoder width, K regions, S tokens of a region, L layers, U DiER units, O tokens of the fusion context,
J outputs. A digit stands for an axis of that length.
"""
