"""What the tasks on photographs share: reading, resizing, batches, evaluation, prediction."""

from segjax.tasks.images.task import STORED as STORED
from segjax.tasks.images.task import ImageTask as ImageTask
