"""The forms of the pages: what people type, turned into what services take.

Forms say what is malformed. Who may do what is the services' and the policy's to say:
choices come from there, and an error of a service is shown at the field it names.
"""
