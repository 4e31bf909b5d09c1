//! Datasets: formats, image decoding and preprocessing, tokenizer, batches, demo.
