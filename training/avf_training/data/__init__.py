"""From stored clips to model input: storage, the stream in the global order, decoding, augmentation and transforms.

Shapes, as they end the names of tensors: B clips of this rank in a batch, R rows (the B clips and the clips that only
serve as mixing partners), T frames, H W height and width in pixels, Q = 3H / 2 rows of yuv420p planes (H rows of luma,
then both chroma planes), S audio samples, M mel frames, F mel bands, N classes. A digit stands for an axis of that
length. Positions count clips from the start of the stream over all epochs, unless an epoch is given with them.
"""
