"Small random models of the kinds that are tuned in earnest, with tokenizers trained on the project's own text."
import json
from pathlib import Path
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3Model, XLMRobertaConfig,
                          XLMRobertaModel)
from korembed.data import sample_path
from korembed.model import offline_path

def _lines() -> list[str]: return sample_path('eval/solar_system.txt').read_text(encoding='utf-8').splitlines()

def _put(folder: Path, model, config, tokenizer, dtype=torch.float32, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model(config).to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

def _pooled(folder: Path, how: str, dimension: int, prompts: dict | None = None) -> Path:
    "What makes a sentence-transformers model of it."
    parts = [('', 'Transformer'), ('1_Pooling', 'Pooling'), ('2_Normalize', 'Normalize')]
    modes = {f'pooling_mode_{m}': m == how for m in ('lasttoken', 'mean_tokens', 'cls_token')}
    papers = {'modules.json': [dict(idx=i, name=str(i), path=p, type=f'sentence_transformers.models.{k}') for i, (p, k) in enumerate(parts)],
              'sentence_bert_config.json': dict(max_seq_length=256, do_lower_case=False),
              'config_sentence_transformers.json': dict(prompts=prompts or {}, similarity_fn_name='cosine'),
              '1_Pooling/config.json': dict(word_embedding_dimension=dimension, include_prompt=True, **modes)}
    for name, content in papers.items():
        (folder/name).parent.mkdir(exist_ok=True)
        (folder/name).write_text(json.dumps(content), encoding='utf-8')
    return folder

def xlmr(folder: Path, seed: int = 0) -> Path:
    "As multilingual E5: XLM-R with a unigram tokenizer and no word on pooling."
    tok = Tokenizer(models.Unigram())
    tok.normalizer, tok.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    special = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
    tok.train_from_iterator(_lines(), trainers.UnigramTrainer(vocab_size=2000, special_tokens=special, unk_token='<unk>', show_progress=False))
    tok.post_processor = TemplateProcessing(single='<s> $A </s>', pair='<s> $A </s> </s> $B </s>', special_tokens=[('<s>', 0), ('</s>', 2)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, bos_token='<s>', eos_token='</s>', sep_token='</s>', cls_token='<s>',
                                   unk_token='<unk>', pad_token='<pad>', mask_token='<mask>', model_max_length=512)
    config = XLMRobertaConfig(vocab_size=len(fast), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
                              max_position_embeddings=514)
    return _put(folder, XLMRobertaModel, config, fast, seed=seed)

def bert(folder: Path, pooler: bool = True) -> Path:
    "As KLUE-BERT; without pooler as some embedding models are published."
    tok = Tokenizer(models.WordPiece(unk_token='[UNK]'))
    tok.normalizer, tok.pre_tokenizer = normalizers.BertNormalizer(strip_accents=False), pre_tokenizers.BertPreTokenizer()
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    tok.train_from_iterator(_lines(), trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special, show_progress=False))
    tok.post_processor = TemplateProcessing(single='[CLS] $A [SEP]', pair='[CLS] $A [SEP] $B [SEP]', special_tokens=[('[CLS]', 2), ('[SEP]', 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, cls_token='[CLS]', sep_token='[SEP]', unk_token='[UNK]', pad_token='[PAD]',
                                   mask_token='[MASK]', model_max_length=512)
    config = BertConfig(vocab_size=len(fast), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128)
    make = BertModel if pooler else lambda c: BertModel(c, add_pooling_layer=False)
    return _put(folder, make, config, fast)

INSTRUCTION = 'Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:'

def qwen3(folder: Path, padding_side: str = 'left', dtype=torch.float32) -> Path:
    "As Qwen3-Embedding: a decoder, byte-level BPE, last token pooled, an instruction before questions, input and output weights tied."
    tok = Tokenizer(models.BPE())
    tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tok.train_from_iterator(_lines(), trainers.BpeTrainer(vocab_size=2000, special_tokens=['<|endoftext|>'], show_progress=False,
                                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tok.post_processor = TemplateProcessing(single='$A <|endoftext|>', pair='$A $B <|endoftext|>', special_tokens=[('<|endoftext|>', 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, pad_token='<|endoftext|>', eos_token='<|endoftext|>', model_max_length=512,
                                   padding_side=padding_side)
    config = Qwen3Config(vocab_size=len(fast), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                         intermediate_size=128, max_position_embeddings=512, tie_word_embeddings=True, use_cache=False)
    return _pooled(_put(folder, Qwen3Model, config, fast, dtype), 'lasttoken', 64, dict(query=INSTRUCTION, document=''))

def minilm(folder: Path) -> Path:
    "As all-MiniLM-L6-v2, whose tokenizer it has: Korean in single letters, mean pooled, length 1."
    tok = AutoTokenizer.from_pretrained(offline_path())
    config = BertConfig(vocab_size=len(tok), hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    return _pooled(_put(folder, BertModel, config, tok), 'mean_tokens', 48)

KINDS = dict(xlmr=xlmr, bert=bert, bert_without_pooler=lambda folder: bert(folder, False), qwen3=qwen3, minilm=minilm)
