"""The pages. Each reads through the policy, changes through a service, and renders.

The path names the organization: `/organizations/<slug>/…`. What a person may not see is
404, what they see but may not do is 403.
"""
