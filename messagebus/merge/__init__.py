"""Two versions of a bus made one, in the order of their ids. Pure.

merge       the three-way merge of two logs: ``merge_logs``
order       two sequences made one, in an order that both keep to
paragraphs  what is outside of records: one-line messages and free text
"""

from messagebus.merge.merge import merge_logs

__all__ = ["merge_logs"]
