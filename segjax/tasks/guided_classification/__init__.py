"""Classification of a finding, with an activation map that regions guide."""

from segjax.tasks.guided_classification.task import GuidedClassification as GuidedClassification
