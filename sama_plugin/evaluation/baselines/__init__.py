"""Who answers without a SAMA model, one file each; `catalogue.ANSWERERS` names them."""
