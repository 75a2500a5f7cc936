"""Files of many containers, codecs and oddities, read by the product and compared with what is in them: docs/media.md."""
