"""What experiments share: sections of a config that would otherwise be typed again in each.

    loss_terms     a loss with all its options, and the map that it is defined with
    combinations   losses with the partners and schedules that their papers give them
    region_wise    the losses that the region-wise paper compares, by word
    localization   the losses of a localisation, with the decoding that belongs to each, by word
    training       optimiser, schedule and length: quick ones, and those of the papers
    nnunet         a network's size, or a plan of `segjax plan`, as model, data and task options
    augmentation   every augmentation of a task, by name
    tasks          every option of a task

Functions write into a config, or give a section for one; nothing here computes. What stands above
this floor (tasks, optimisers, schedules, weights) is named as a config names it.
"""
