"""How chroma_0.5.23.zip was made: `python old_chroma.py texts` here writes vectors.json; then, where chromadb 0.5.23 is installed, `python old_chroma.py store`.

The note in its metadata is that of the first korembed, which knew the model, its fingerprint and the size of the chunks.
"""
import json, shutil, sys
from pathlib import Path

if sys.argv[1] == 'texts':
    from korembed.data import sample_path
    from korembed.indexing import chunk_documents, model_fingerprint
    from korembed.model import Embedder
    chunks = chunk_documents({'solar_system.txt': sample_path('eval/solar_system.txt').read_text(encoding='utf-8')[:1500]}, 120, 0)
    model = Embedder('offline', device='cpu')
    Path('vectors.json').write_text(json.dumps(dict(
        ids=chunks.id.tolist(), embeddings=model.encode_passages(chunks.text.tolist()).tolist(), documents=chunks.text.tolist(),
        metadatas=chunks[['source', 'start', 'end']].to_dict('records'),
        note=dict(model='offline', fingerprint=model_fingerprint(model.model), chunk_size=120, chunk_overlap=0))), encoding='utf-8')
else:
    import chromadb
    told = json.loads(Path('vectors.json').read_text(encoding='utf-8'))
    client = chromadb.PersistentClient('store')
    made = client.create_collection('original_embeddings', metadata={'hnsw:space': 'cosine'} | told.pop('note'), embedding_function=None)
    made.add(**told)
    client.create_collection('someone_elses', embedding_function=None).add(ids=['1'], embeddings=[[1., 0.]], documents=['남의 글'])
    shutil.make_archive(f'chroma_{chromadb.__version__}', 'zip', 'store')
