"""Alembic's entry: runs the migrations on the connection, and in the transaction, that `run` hands over.

Without a connection it writes them down as SQL, for whoever runs them in a transaction of his own.
"""

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name=context.config.attributes["dialect"], transactional_ddl=False)
else:
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
