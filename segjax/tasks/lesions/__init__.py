"""What tasks on small lesions of whole photographs share."""
